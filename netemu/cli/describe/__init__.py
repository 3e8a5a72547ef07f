"""`netemu describe`: one file a kind, and a page that lays them out as kubectl does."""
