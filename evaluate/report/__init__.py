"""The parts of a report: a page to read, and tracks to listen to."""
