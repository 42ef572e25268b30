"""For Python 3."""
import asyncio

loops = set()


async def waits(event, context):
    loops.add(id(asyncio.get_running_loop() if hasattr(asyncio, 'get_running_loop') else asyncio.get_event_loop()))
    await asyncio.sleep(event.get('seconds', 0))
    if 'fail' in event:
        raise ValueError('later')
    return {'loops': len(loops)}


def runs(event, context):
    """Has a loop of its own in between."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(waits(event, context))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
