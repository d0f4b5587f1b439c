"""A vhost-user-blk server: a raw image as a disk for anyone who speaks vhost-user.

QEMU: storage-daemon/qemu-storage-daemon.c, block/export/vhost-user-blk-server.c

It needs nothing installed and can log each message it gets, which shows whether a
front end was really moved or has come anew. `back_end` and below know no disk: a
`Model` gives a ring its meaning.
"""
