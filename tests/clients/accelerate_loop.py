"""accelerate: the loader is prepared first and mixed then; resumed by the epoch, or in the middle of one."""

from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.utils.data import DataLoader

import mixdali
from tests.clients.parts import BATCH, CLASSES, MIX, Images, Record, arguments, network, own_loader

kind, folder, first, last = arguments()
record = Record()
accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=0))
net = network()
net, optimizer = accelerator.prepare(net, SGD(net.parameters(), lr=0.1))
val = accelerator.prepare(DataLoader(Images(), batch_size=BATCH))
if kind == "loader":
    loader = accelerator.prepare(own_loader())
else:
    loader = accelerator.prepare(DataLoader(Images(), batch_size=BATCH, shuffle=True))
    loader = mixdali.mixed(loader, MIX, num_classes=CLASSES)

for epoch in range(first, last):
    loader.set_epoch(epoch)
    if kind == "skipping" and epoch == first > 0:
        loader.skip_first_batches(1)
    for images, targets, index in loader:
        record.add("train", epoch, images, targets, index)
        optimizer.zero_grad()
        accelerator.backward(cross_entropy(net(images), targets))
        optimizer.step()
    for batch in val:
        record.add("val", epoch, *batch)
record.write(folder)
accelerator.end_training()
