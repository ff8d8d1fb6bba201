"""Further sources of images beside the training images of a run: a stream each."""

from train.data.streams.stream import Stream as Stream
from train.data.streams.stream import check_streams as check_streams
from train.data.streams.stream import split_batch as split_batch
