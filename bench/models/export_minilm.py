# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "transformers", "onnx", "onnxscript", "numpy"]
# ///
"""A BERT of the size of all-MiniLM-L6-v2 (6 layers, 384 features, 12 heads), random weights, for 1 x 128 tokens.

Times do not depend on the weights, so none are downloaded.
usage: export_minilm.py OUT.onnx [--seed N] [--tokens 128]
"""
import argparse

import torch
from transformers import BertConfig, BertModel


class Encoder(torch.nn.Module):
    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    config = BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    bert = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.arange(args.tokens)[None] + 1000
    with torch.no_grad():
        torch.onnx.export(Encoder(bert).eval(), (ids, torch.ones_like(ids)), args.out, input_names=["input_ids", "attention_mask"],
                          output_names=["last_hidden_state"], opset_version=18, dynamo=True, external_data=False)


if __name__ == "__main__":
    main()
