"""Servers for this machine alone."""

import asyncio
import socket

from nerveseg.local_server import listening


def test_an_answer_is_sent_at_once_and_does_not_wait_for_the_receipt_of_its_first_packet():
    async def option_of_a_connection() -> int:
        made = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                made.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        with listening(0) as listener:
            async with await asyncio.get_running_loop().create_server(Protocol, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                option = await made
                writer.close()
        return option

    assert asyncio.run(option_of_a_connection())


def test_who_connects_before_the_server_runs_waits_for_it_and_is_not_refused():
    with listening(0) as listener, socket.create_connection(listener.getsockname(), timeout=5):
        pass
