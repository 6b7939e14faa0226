"""Components of the page with JavaScript of their own."""
