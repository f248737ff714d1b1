"""Speed and accuracy, measured through public names only. Raw figures are stored first, tables made from them."""
