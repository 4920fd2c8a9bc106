"""Many pairs in one folder: registered once each, whatever is killed in between, with a table and a page to look at."""
