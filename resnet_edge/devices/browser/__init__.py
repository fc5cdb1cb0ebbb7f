"""A browser as a device: a page on a server of this machine, whose answers are judged here."""
