"""The intake service; needs the extra ``prescan[intake]``."""
