// The client of @hey-api/openapi-ts: what may be omitted is omitted.
import { client } from "./hey/client.gen";
import { basicChatV1, classifyV1, generate, joinGeneration } from "./hey/sdk.gen";

declare const process: { argv: string[] };

client.setConfig({ baseUrl: process.argv[2] });

const plain = await generate({ body: { template_id: "basic_chat", input: "Hi" } });
if (!plain.data) throw new Error(JSON.stringify(plain.error));
console.log(plain.data.status, plain.data.output);

const sorted = await classifyV1({ body: { input: "Hi", parameters: { labels: ["bug", "idea"] } } });
if (!sorted.data) throw new Error(JSON.stringify(sorted.error));
console.log(typeof sorted.data.output_json);

const names: string[] = [];
const { stream } = await joinGeneration({
  path: { request_id: plain.data.request_id },
  onSseEvent: (event) => names.push(`event: ${event.event}`),
});
for await (const _ of stream);
console.log(names[0]);

// @ts-expect-error: not a tone
const refused = await basicChatV1({ body: { input: "Hi", parameters: { tone: "loud" } } });
console.log(refused.error?.error, refused.response?.status);
