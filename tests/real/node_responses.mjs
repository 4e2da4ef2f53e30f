// What the official OpenAI SDK of Node makes of a gateway's Responses, as JSON.
// Usage: node node_responses.mjs BASE_URL KEY
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const input = [{ role: "user", content: "the river and the stone bridge" }];
const seen = {};

const whole = await client.responses.create({ model: "tiny", input, max_output_tokens: 16 });
[seen.text, seen.status] = [whole.output_text, whole.status];

const parameters = { type: "object", properties: { at: { type: "string" } }, required: ["at"], additionalProperties: false };
const tools = [{ type: "function", name: "look", parameters, strict: true }];
const first = await client.responses.stream({ model: "tools", input, tools }).finalResponse();
const calls = first.output.filter((item) => item.type === "function_call");
seen.calls = calls.map((call) => JSON.parse(call.arguments));
const results = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: "seen" }));
const last = await client.responses.stream({ model: "tools", input: [...input, ...first.output, ...results], tools }).finalResponse();
seen.last = last.output_text;

const next = await client.responses.create({ model: "tiny", input: "and then", previous_response_id: whole.id, max_output_tokens: 16 });
seen.previous = next.previous_response_id === whole.id;

const background = { model: "tiny", input, background: true, stream: true, max_output_tokens: 16 };
let [id, at] = ["", 0];
for await (const event of await client.responses.create(background)) {
  id ||= event.response.id;
  at = event.sequence_number;
  if (at === 3) break;
}
seen.resumed = [];
let end = 0;
for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: at })) {
  seen.resumed.push(event.sequence_number);
  end = event.sequence_number;
}
seen.expected = Array.from({ length: end - at }, (_, n) => at + 1 + n);
console.log(JSON.stringify(seen));
