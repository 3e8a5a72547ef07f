"""`netemu explain`: who talks to whom, the rules in between, and the story as text."""
