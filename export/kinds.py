"""The kinds of numbers that a TFLite file may compute with."""

# Kinds whose activations are integers: the activations' ranges must be measured.
CALIBRATED = ("int8", "int16x8", "mixed")
# quantize.convert_plan says what each kind is.
KINDS = ("float32", "float16", "dynamic", *CALIBRATED)
# What the list in the folder of a SavedModel's version says that it is.
SAVED_MODEL = "SavedModel"
