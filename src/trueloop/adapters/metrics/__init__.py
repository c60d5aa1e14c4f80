"""What a worker tells of its work: numbers for Prometheus and for `trueloop top`.

A worker counts each batch once, in `RecordMetrics`, with plain additions; everything that costs more (lag, size of state, the text that
Prometheus reads) is worked out when somebody asks, in the thread of the one who asks. Labels are names of our own: topic, outcome, reason,
processor, partition. Ids and human text never become one.
"""
