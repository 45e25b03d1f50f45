// Takes proper-lockfile's lock the way Claude Code does.
//
//   node lock.js try   LOCK            prints "taken" or the error's code
//   node lock.js hold  LOCK STALE_MS   prints "held"; gives back and prints "released" when stdin ends
//   node lock.js count LOCK FILE N     N times: lock, add one to the number in FILE, unlock
const fs = require("fs");
const lockfile = require("proper-lockfile");

const [command, path, third, fourth] = process.argv.slice(2);
const options = { lockfilePath: path, realpath: false, stale: 60000, update: 5000 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function tryOnce() {
  const release = await lockfile.lock(path, options);
  await release();
  console.log("taken");
}

async function hold(stale) {
  const release = await lockfile.lock(path, { ...options, stale, update: stale / 2 });
  console.log("held");
  for await (const _ of process.stdin) {
    // wait for its end
  }
  await release();
  console.log("released");
}

async function count(file, rounds) {
  const retries = { forever: true, factor: 1, minTimeout: 1, maxTimeout: 8, randomize: true };
  for (let round = 0; round < rounds; round++) {
    const release = await lockfile.lock(path, { ...options, retries });
    const number = Number(fs.readFileSync(file, "utf8"));
    await pause(1);
    fs.writeFileSync(file, String(number + 1));
    await release();
  }
}

const commands = { try: tryOnce, hold: () => hold(Number(third)), count: () => count(third, Number(fourth)) };
commands[command]().catch((error) => {
  console.log(error.code);
  process.exitCode = 1;
});
