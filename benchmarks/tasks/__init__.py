"""Public long-context sets, read from the hub into the rows of the evaluation data. A set is a file here, and a line in `hub.SOURCES`."""
