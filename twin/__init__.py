"""The living copy: streamed measurements in, estimated states, alarms and answers out."""
