"""Who can be measured: a file each, loaded by its path in a process of its own, perhaps in another environment.

A contestant imports what it needs at its top and defines

    batches(settings: dict) -> an endless iterator of (images, targets)

and, where something has to be done once for these images, `prepare(settings)`, which is not measured.

images are float32 (N, 3, S, S) in [0, 1] and targets float32 (N, num_classes), torch tensors on the device, of
training images: for files RandomResizedCrop(S) with an area of 8 to 100 % at an aspect ratio of 3/4 to 4/3, bilinear,
antialiased where the contestant has it; for arrays 4 pixels of padding and a random crop; both flipped half of the
time.

settings: folder (class folders for files, pickles for arrays), kind ("files", "arrays"), num_classes, size, batch_size,
threads (threads or workers), device ("cpu", "gpu"), seed, repeat (how often the files follow each other in an epoch, so
that the epochs of a small folder do not end all the time), cache (a folder for what is converted), and what the row
says.
"""
