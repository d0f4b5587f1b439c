"""What a migration's bytes travel over, one file a transport.

QEMU: migration/socket.c, fd.c, exec.c, file.c, rdma.c
"""
