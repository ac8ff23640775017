"""What the commands do, each in the module of its name; `cli` parses, `render` shows."""
