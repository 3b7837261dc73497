/**
 * A client in a process of its own, so that the load of the test does not slow it down: asks a provider something small
 * again and again until its input ends, then prints how many milliseconds each answer took.
 */
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const [url = "", token = ""] = process.argv.slice(2);
const times: number[] = [];
let ended = false;
let warm = false;
const ending = text(process.stdin).then(() => {
  ended = true;
});
while (!ended) {
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/data-sets/0x${"00".repeat(32)}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await response.arrayBuffer();
  if (response.status !== 404) throw new Error(`status ${response.status}`);
  // The first request also opens the connection.
  if (warm) times.push(performance.now() - startedAt);
  else process.stderr.write("ready\n");
  warm = true;
  await pause(5);
}
await ending;
process.stdout.write(JSON.stringify(times));
