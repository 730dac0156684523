"""What the READMEs show of the results, one module for each kind of them."""
