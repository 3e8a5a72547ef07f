"""The controllers, one small file each, and the loop they share."""
