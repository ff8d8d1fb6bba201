"""timm's train script, told where to start; `stop_epoch` stands for its mixup_off_epoch."""

from typing import Any

import torch
from timm.data import create_loader
from torch.nn.functional import cross_entropy
from torch.optim import SGD

import mixdali
from tests.clients.parts import BATCH, CLASSES, MIX, Images, Record, arguments, network, start

kind, folder, first, last = arguments()
_, ranks = start()
record = Record()


class Items(Images):
    transform = None  # which create_loader sets; these images need none


def timm_loader(is_training: bool) -> Any:
    return create_loader(
        Items(),
        input_size=(3, 8, 8),
        batch_size=BATCH,
        is_training=is_training,
        no_aug=True,
        use_prefetcher=False,
        distributed=ranks > 1,
        num_workers=1,
        persistent_workers=False,
        pin_memory=False,
        device=torch.device("cpu"),
    )


torch.manual_seed(0)
loader_train, loader_eval = timm_loader(True), timm_loader(False)
loader_train = mixdali.mixed(loader_train, MIX, num_classes=CLASSES)
net = network()
optimizer = SGD(net.parameters(), lr=0.1)

for epoch in range(first, last):
    torch.manual_seed(epoch)  # of the order, which timm leaves to the global generator where it runs alone
    loader_train.set_epoch(epoch)
    for images, targets, index in loader_train:
        record.add("train", epoch, images, targets, index)
        optimizer.zero_grad()
        cross_entropy(net(images), targets).backward()
        optimizer.step()
    for batch in loader_eval:
        record.add("val", epoch, *batch)
record.write(folder)
if ranks > 1:
    torch.distributed.destroy_process_group()
