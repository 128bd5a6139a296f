"""Fine-tuning in the pod: data in, an adapter out.

`kaitobus-tune` (`app`) brings the data, has the model trained and measured by processes of their own, and brings the
adapter to where it is wanted. What is done is kept in the pod's volume: whoever starts anew goes on from there.
"""
