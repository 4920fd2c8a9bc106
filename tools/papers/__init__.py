"""The papers' tables: which command makes which row, what was printed, and what differs."""
