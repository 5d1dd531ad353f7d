// A day's work with the package `dockerode`: DOCKER_SOCKET is the socket, REGISTRY a registry, CLIENT where the package is.

'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');
const { PassThrough } = require('node:stream');

const required = createRequire(path.join(process.env.CLIENT, 'package.json'));
const Docker = required('dockerode');
const docker = new Docker({ socketPath: process.env.DOCKER_SOCKET });
const BUSYBOX = 'busybox:1.36';

// All that a stream gives.
async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

// What a stream of two lanes gives, apart.
async function apart(stream) {
  const lanes = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, lanes[0], lanes[1]);
  stream.on('end', () => lanes.forEach((lane) => lane.end()));
  stream.resume();
  return (await Promise.all(lanes.map(all))).map(String);
}

// The progress of a pull, push or build, to its end.
function followed(stream) {
  return new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines)));
  });
}

async function until(what, look) {
  const end = Date.now() + 20000;
  while (!(await look())) {
    assert(Date.now() < end, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function refused(status, work) {
  await assert.rejects(work, (error) => error.statusCode === status && error.message.length > 0);
}

async function versions() {
  assert.strictEqual(String(await docker.ping()), 'OK');
  assert((await docker.version()).ApiVersion);
  assert.strictEqual((await docker.info()).Images, 1);
}

// Runs a program to its end and removes it: its exit code and what it said. What `docker.run` has said when it returns
// may still be on its way within this program, so the stream's own end is awaited.
async function ran(image, words, options = {}) {
  const box = await docker.createContainer({ Image: image, Cmd: words, ...options });
  const texts = apart(await box.attach({ stream: true, stdout: true, stderr: true }));
  await box.start();
  const end = await box.wait();
  const said = await texts;
  await box.remove();
  return [end.StatusCode, ...said];
}

async function run() {
  assert.deepStrictEqual(await ran(BUSYBOX, ['sh', '-c', 'echo hi; echo no >&2; exit 3']), [3, 'hi\n', 'no\n']);
  const [end, box] = await docker.run(BUSYBOX, ['false'], [new PassThrough(), new PassThrough()], { Tty: false });
  assert.strictEqual(end.StatusCode, 1);
  await box.remove();
  await refused(404, () => docker.getContainer('nobody').inspect());
  await refused(404, () => docker.createContainer({ Image: 'nobody/nothing:v1' }));
  await refused(400, async () => {
    const bad = await docker.createContainer({ Image: BUSYBOX, Cmd: ['no-such-program'], name: 'bad' });
    try {
      await bad.start();
    } finally {
      await bad.remove();
    }
  });
}

async function start() {
  const box = await docker.createContainer({
    Image: BUSYBOX,
    name: 'box',
    Cmd: ['sh', '-c', 'echo first; echo second >&2; exec sleep 300'],
    Labels: { shift: 'day' },
    HostConfig: { Memory: 64 << 20, Binds: ['stock:/stock'] },
  });
  await box.start();
  await refused(409, () => docker.createContainer({ Image: BUSYBOX, name: 'box' }));
  const seen = await box.inspect();
  assert(seen.State.Running && seen.HostConfig.Memory === 64 << 20);
  const listed = await docker.listContainers({ filters: { label: ['shift=day'] } });
  assert.deepStrictEqual(listed.map((found) => found.Names), [['/box']]);
  return box;
}

async function logs(box) {
  const lanes = () => box.logs({ stdout: true, stderr: true });
  await until('both lines are logged', async () => (await lanes()).length >= 29);
  const follow = await box.logs({ stdout: true, stderr: true, follow: true });
  const first = once(follow, 'data');
  assert((await first)[0].length > 0);
  follow.destroy();
  assert(String(await box.logs({ stdout: true })).endsWith('first\n'));
}

async function execs(box) {
  const make = (options) => box.exec({ AttachStdout: true, AttachStderr: true, ...options });
  const both = await make({ Cmd: ['sh', '-c', 'echo o; echo e >&2; exit 4'] });
  assert.deepStrictEqual(await apart(await both.start({ hijack: true })), ['o\n', 'e\n']);
  assert.strictEqual((await both.inspect()).ExitCode, 4);
  const cat = await make({ Cmd: ['cat'], AttachStdin: true });
  const stream = await cat.start({ hijack: true, stdin: true });
  stream.end('typed');
  assert.deepStrictEqual(await apart(stream), ['typed', '']);
  const tty = await make({ Cmd: ['tty'], Tty: true });
  assert(String(await all(await tty.start({ Tty: true }))).startsWith('/dev/pts/'));
}

async function copies(box, pack) {
  await box.putArchive(pack({ 'in.txt': 'carried in' }), { path: '/tmp' });
  assert((await all(await box.getArchive({ path: '/tmp/in.txt' }))).includes('carried in'));
  assert.strictEqual((await box.infoArchive({ path: '/tmp/in.txt' })).statusCode ?? 200, 200);
  await refused(404, () => box.getArchive({ path: '/nowhere' }));
  assert((await box.changes()).some((change) => change.Path === '/tmp/in.txt' && change.Kind === 1));
  assert((await all(await box.export())).includes('carried in'));
}

async function figures(box) {
  const once = await box.stats({ stream: false });
  assert(once.memory_stats.limit === 64 << 20 && once.cpu_stats.cpu_usage.total_usage > 0);
  const top = await box.top();
  assert(top.Processes.some((row) => row.at(-1).includes('sleep 300')));
}

async function life(box) {
  await box.pause();
  assert((await box.inspect()).State.Paused);
  await box.unpause();
  await box.rename({ name: 'chest' });
  await box.update({ Memory: 128 << 20, MemorySwap: 256 << 20 });
  assert.strictEqual((await box.inspect()).HostConfig.Memory, 128 << 20);
  await box.commit({ repo: 'stand', tag: 'v1' });
  await box.restart({ t: 0 });
  const waited = box.wait();
  await box.kill();
  assert.strictEqual((await waited).StatusCode, 137);
  await refused(409, () => box.kill());
  await box.remove({ v: true });
}

async function attach() {
  const sink = await docker.createContainer({
    Image: BUSYBOX, Cmd: ['sh', '-c', 'read line; echo got $line; exit 5'],
    OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await sink.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  await sink.start();
  stream.end('words\n');
  assert.deepStrictEqual(await apart(stream), ['got words\n', '']);
  assert.strictEqual((await sink.wait()).StatusCode, 5);
  await sink.remove();
}

async function networksAndVolumes() {
  const harbour = await docker.createNetwork({ Name: 'harbour', Labels: { of: 'day' } });
  const one = await docker.createContainer({ Image: BUSYBOX, name: 'one', Cmd: ['sleep', '300'] });
  await one.start();
  await harbour.connect({ Container: one.id, EndpointConfig: { Aliases: ['first'] } });
  const seen = await harbour.inspect();
  assert.deepStrictEqual(Object.values(seen.Containers).map((found) => found.Name), ['one']);
  await refused(403, () => harbour.remove());
  await harbour.disconnect({ Container: one.id });
  await one.remove({ force: true });
  await harbour.remove();
  await docker.createVolume({ Name: 'crate', Labels: { of: 'day' } });
  assert.deepStrictEqual((await docker.getVolume('crate').inspect()).Labels, { of: 'day' });
  for (const name of ['crate', 'stock']) await docker.getVolume(name).remove();
  assert.deepStrictEqual((await docker.listVolumes()).Volumes, []);
}

async function build() {
  fs.mkdirSync('context', { recursive: true });
  fs.writeFileSync('context/own.txt', 'own\n');
  fs.writeFileSync('context/Dockerfile', 'FROM busybox:1.36\nARG WHO\nCOPY own.txt /\nRUN echo for $WHO > /text\nCMD cat /text /own.txt\n');
  const context = { context: path.resolve('context'), src: ['Dockerfile', 'own.txt'] };
  const lines = await followed(await docker.buildImage(context, { t: 'app:v1', buildargs: { WHO: 'us' } }));
  assert(lines.some((line) => line.stream?.includes('Successfully tagged app:v1')), JSON.stringify(lines));
  assert.deepStrictEqual(await ran('app:v1', []), [0, 'for us\nown\n', '']);
}

async function images(pack) {
  const app = docker.getImage('app:v1');
  assert((await app.history()).length > 1);
  await app.tag({ repo: 'kept', tag: 'v1' });
  const saved = await all(await docker.getImage('kept:v1').get());
  await app.remove();
  await docker.getImage('kept:v1').remove();
  await refused(404, () => docker.getImage('kept:v1').inspect());
  const { Readable } = require('node:stream');
  await followed(await docker.loadImage(Readable.from([saved])));
  assert((await docker.listImages()).some((image) => image.RepoTags.includes('kept:v1')));
  const registry = process.env.REGISTRY;
  if (!registry) return;
  await docker.getImage('kept:v1').tag({ repo: `${registry}/team/node`, tag: 'v1' });
  const name = `${registry}/team/node:v1`;
  const pushed = await followed(await docker.getImage(name).push({}));
  assert(pushed.some((line) => line.aux?.Digest?.startsWith('sha256:')), JSON.stringify(pushed));
  await docker.getImage(name).remove();
  await followed(await docker.pull(name));
  assert((await docker.getImage(name).inspect()).RepoDigests.length === 1);
}

async function events() {
  const stream = await docker.getEvents({ filters: { type: ['container'] } });
  let text = '';
  stream.on('data', (piece) => (text += piece));
  await ran(BUSYBOX, ['true']);
  await until('the last is told', () => text.includes('"destroy"'));
  stream.destroy();
  const actions = text.trim().split('\n').map((line) => JSON.parse(line).Action);
  const order = actions.filter((action) => ['create', 'start', 'die', 'destroy'].includes(action));
  assert.deepStrictEqual(order, ['create', 'start', 'die', 'destroy']);
}

async function theEnd() {
  assert((await docker.df()).Images.length > 0);
  await docker.createContainer({ Image: BUSYBOX, Cmd: ['true'] });
  assert.strictEqual((await docker.pruneContainers()).ContainersDeleted.length, 1);
  await docker.pruneNetworks();
  await docker.pruneVolumes();
  await docker.pruneImages({ filters: { dangling: { false: true } } });
  assert.deepStrictEqual(await docker.listImages(), []);
}

async function main() {
  const tar = createRequire(required.resolve('tar-fs'))('tar-stream');
  const pack = (files) => {
    const made = tar.pack();
    for (const [name, text] of Object.entries(files)) made.entry({ name }, text);
    made.finalize();
    return made;
  };
  const step = async (work, ...rest) => {
    console.log('--', work.name);
    return work(...rest);
  };
  await step(versions);
  await step(run);
  const box = await step(start);
  await step(logs, box);
  await step(execs, box);
  await step(copies, box, pack);
  await step(figures, box);
  await step(life, box);
  await step(attach);
  await step(networksAndVolumes);
  await step(build);
  await step(images);
  await step(events);
  await step(theEnd);
  console.log('the day is done');
  // Connections that are kept for more would keep us, too.
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
