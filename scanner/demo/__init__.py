"""A walk through the whole product with real photographs; needs the extra ``prescan[demo]``."""
