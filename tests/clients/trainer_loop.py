"""Hugging Face's Trainer, resumed from its checkpoint."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

import mixdali
from tests.clients.parts import BATCH, CLASSES, MIX, Images, Record, arguments, network

kind, folder, first, last = arguments()
record = Record()


class Items(Images):
    def __getitem__(self, n: int) -> Any:
        image, label, _ = super().__getitem__(n)
        return {"pixel_values": image, "labels": label, "index": n}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, pixel_values: Any, labels: Any, index: Any) -> dict[str, Any]:
        epoch = int(trainer.state.epoch or 0)
        if self.training:
            record.add("train", epoch, pixel_values, labels, index)
        else:
            record.add("val", epoch - 1, pixel_values, labels, index)
        logits = self.net(pixel_values)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class MixingTrainer(Trainer):
    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        return mixdali.mixed(loader, MIX, num_classes=CLASSES, images="pixel_values", targets="labels")


trainer = MixingTrainer(
    Net(),
    TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=last,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        save_strategy="epoch",
        eval_strategy="epoch",
        remove_unused_columns=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        seed=0,
    ),
    train_dataset=Items(),
    eval_dataset=Items(),
)
trainer.train(resume_from_checkpoint=bool(first))
record.write(folder)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
