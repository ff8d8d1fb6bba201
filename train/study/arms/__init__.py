"""Recipe files of arms that no recipe of the house is."""
