"""The runtimes that run artifacts, behind one small interface: a table, and a module for each."""
