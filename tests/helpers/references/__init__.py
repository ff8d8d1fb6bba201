"""The methods as slow loops over pixels, written as the papers and their authors' code print them."""
