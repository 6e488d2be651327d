"""The command mfm-edge: one file a command, and what they share."""
