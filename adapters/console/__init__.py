"""The command line's side of click: parameters, options, what is printed."""
