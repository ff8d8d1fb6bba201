"""Mixing beyond images: rows of tables and sequences, in memory, by the objectives that images are trained with.

python -m train.tables wine digits --mix 'MixUp(alpha=0.2)'
python -m train.tables my.csv:species --objective 'GenLabel(space="input")'
python -m train.tables.boundaries
"""
