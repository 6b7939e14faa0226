"""Components of the page, with their JavaScript beside them."""
