"""`netemu dns`: serve names from files, look them up as a pod would, say what makes them."""
