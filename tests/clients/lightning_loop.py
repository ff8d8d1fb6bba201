"""Lightning: `Trainer.fit`, resumed from its checkpoint."""

import os
from typing import Any

import lightning
import torch
from torch.nn.functional import cross_entropy

import mixdali
from tests.clients.parts import CLASSES, MIX, Record, arguments, network, own_loader, sharded_loader

kind, folder, first, last = arguments()
record = Record()
ranks = int(os.environ.get("WORLD_SIZE", "1"))


class Net(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def train_dataloader(self) -> Any:
        if kind == "loader":
            return own_loader()
        loader = sharded_loader(self.global_rank, self.trainer.world_size)
        return mixdali.mixed(loader, MIX, num_classes=CLASSES)

    def val_dataloader(self) -> Any:
        return sharded_loader(self.global_rank, self.trainer.world_size, shuffle=False)

    def training_step(self, batch: Any, _: int) -> Any:
        images, targets, index = batch
        record.add("train", self.current_epoch, images, targets, index)
        return cross_entropy(self.net(images), targets)

    def validation_step(self, batch: Any, _: int) -> None:
        if not self.trainer.sanity_checking:
            record.add("val", self.current_epoch, *batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer = lightning.Trainer(
    max_epochs=last,
    accelerator="cpu",
    devices=ranks,
    strategy="ddp" if ranks > 1 else "auto",
    use_distributed_sampler=False,
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    default_root_dir=folder,
    callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(folder, filename="last", enable_version_counter=False)],
)
trainer.fit(Net(), ckpt_path=folder / "last.ckpt" if first else None, weights_only=False)
record.write(folder)
