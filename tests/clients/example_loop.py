"""PyTorch's ImageNet example and torchvision's references: they tell the epoch to a sampler that they keep."""

import torch
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.utils.data import DataLoader, DistributedSampler

import mixdali
from tests.clients.parts import (
    BATCH,
    CLASSES,
    MIX,
    Images,
    Record,
    arguments,
    network,
    own_loader,
    sharded_loader,
    start,
)

kind, folder, first, last = arguments()
rank, ranks = start()
record = Record()
if kind == "loader":
    train_loader = own_loader()
    train_sampler = train_loader.sampler
else:
    train_sampler = DistributedSampler(Images(), num_replicas=ranks, rank=rank)
    train_loader = DataLoader(Images(), batch_size=BATCH, sampler=train_sampler)
    train_loader = mixdali.mixed(train_loader, MIX, num_classes=CLASSES)
val_loader = sharded_loader(rank, ranks, shuffle=False)
net = network()
optimizer = SGD(net.parameters(), lr=0.1)

for epoch in range(first, last):
    train_sampler.set_epoch(epoch)
    for images, targets, index in train_loader:
        record.add("train", epoch, images, targets, index)
        optimizer.zero_grad()
        cross_entropy(net(images), targets).backward()
        optimizer.step()
    for batch in val_loader:
        record.add("val", epoch, *batch)
record.write(folder)
if ranks > 1:
    torch.distributed.destroy_process_group()
