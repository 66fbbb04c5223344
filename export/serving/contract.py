"""The names on which an exported model and its client agree."""

# The version of the format of what the signature `describe` returns.
DESCRIPTION_VERSION = 1
# The array of a stream's state that identifies the model.
FINGERPRINT = "state_fingerprint"
