"""TensorFlow Serving: files for the server, and a client."""

# Of what the signature `describe` tells.
DESCRIPTION_VERSION = 1
# The array of a stream's state that tells models apart.
FINGERPRINT = "state_fingerprint"
