"""The commands: each parses its words, calls one function of the floors below, and prints. Light until it must be heavy."""
