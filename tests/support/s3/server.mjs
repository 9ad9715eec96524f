// An S3 server that verifies signatures and keeps its objects in a folder; what it was asked is one line each in a file.
import { appendFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const S3rver = require('@20minutes/s3rver');
const Account = require('@20minutes/s3rver/lib/models/account');

const { port, folder, log, buckets, keys, tls, verifies } = JSON.parse(process.argv[2]);
Account.DUMMY_ACCOUNT.revokeAccessKey('S3RVER');
for (const [id, secret] of Object.entries(keys)) Account.DUMMY_ACCOUNT.createKeyPair(id, secret);

const server = new S3rver({
  silent: true,
  directory: folder,
  serviceEndpoint: 'storage.test',
  allowMismatchedSignatures: !verifies,
  configureBuckets: buckets.map((name) => ({ name })),
});
await server.configureBuckets();
const answer = server.callback();
const listener = (request, response) => {
  const { method, url, headers } = request;
  appendFileSync(log, `${JSON.stringify({ method, url, headers })}\n`);
  answer(request, response);
};
(tls ? https.createServer(tls, listener) : http.createServer(listener)).listen(port, '127.0.0.1', () => {
  process.stdout.write('listening\n');
});
// It ends with whoever started it.
process.stdin.resume().on('close', () => process.exit(0));
