"""A tap that replays a file of Singer messages; its catalog is made of the schemas in it."""
import json, sys

arguments = sys.argv[1:]
config = json.load(open(arguments[arguments.index("--config") + 1]))
lines = open(config["file"]).readlines()
if "--discover" in arguments:
    streams = {}
    for line in lines:
        message = json.loads(line)
        if message["type"] == "SCHEMA":
            stream = {"tap_stream_id": message["stream"], "schema": message["schema"], "metadata": []}
            streams[message["stream"]] = stream | {"key_properties": message.get("key_properties", [])}
    print(json.dumps({"streams": list(streams.values())}))
else:
    sys.stdout.writelines(lines)
