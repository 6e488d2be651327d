"""One file an experiment of the report: each returns a Section of rows, tables and pictures."""
