"""Emulators of exchanges on loopback: the unmodified ccxt.pro clients run against them, REST and websocket.

`BinanceFutures` and `OkxSwap` hold the true account (`account`), take faults (`faults`), and say how a client is
pointed at them (`options()`, `credentials`).
"""
