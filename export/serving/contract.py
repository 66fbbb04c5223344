"""The names on which an exported model and its client agree."""

# The version of the format of what the signature `describe` returns.
DESCRIPTION_VERSION = 1
# The file beside a SavedModel that tells the same.
DESCRIPTION_FILE = "assets.extra/waveunet.json"
# The array of a stream's state that identifies the model.
FINGERPRINT = "state_fingerprint"
