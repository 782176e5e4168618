"""Callbacks that bring gossip into trainers of other libraries, by :class:`mpidl.Gossip`.

Each needs its library: ``pip install "mpidl[transformers]"`` or ``"mpidl[lightning]"``.
"""
