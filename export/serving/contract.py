"""What the signatures of an exported model and the client have agreed on."""

# Of what the signature `describe` tells.
DESCRIPTION_VERSION = 1
# The array of a stream's state that tells models apart.
FINGERPRINT = "state_fingerprint"
