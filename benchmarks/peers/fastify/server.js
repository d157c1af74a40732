// The same API on Fastify and pg: schemas both ways, prepared statements, nothing else added.
import Fastify from "fastify";
import pg from "pg";

const BIGINT = 20; // the OID; pg hands bigints over as text, since a Number ends at 2^53
pg.types.setTypeParser(BIGINT, Number);

const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: Number(process.env.POOL_SIZE),
});

const PRIORITIES = ["low", "normal", "high"];
const COLUMNS =
  "id, title, description, status, priority, due_at, tags, created_at, updated_at, completed_at";

// A statement with a name is prepared once a connection.
const LIST_TASKS = {
  name: "list_tasks",
  text: `SELECT ${COLUMNS} FROM tasks ORDER BY created_at DESC, id DESC LIMIT $1`,
};
const GET_TASK = {
  name: "get_task",
  text: `SELECT ${COLUMNS} FROM tasks WHERE id = $1`,
};
const CREATE_TASK = {
  name: "create_task",
  text: `INSERT INTO tasks (title, description, status, priority, due_at, tags, completed_at)
    VALUES ($1, $2, $3::text, $4, $5, $6, CASE WHEN $3 = 'done' THEN now() END) RETURNING ${COLUMNS}`,
};

const status = { type: "string", enum: ["todo", "in_progress", "done"] };
const priority = { type: "string", enum: PRIORITIES };
const moment = { type: "string", format: "date-time" };
const momentOrNull = { ...moment, nullable: true };
const tags = { type: "array", items: { type: "string" } };

const taskContent = {
  type: "object",
  required: ["title"],
  properties: {
    title: { type: "string", minLength: 1, maxLength: 200 },
    description: { type: "string", maxLength: 10000, default: "" },
    status: { ...status, default: "todo" },
    priority: { ...priority, default: "normal" },
    due_at: { ...momentOrNull, default: null },
    tags: { ...tags, default: [] },
  },
};

const task = {
  type: "object",
  properties: {
    id: { type: "integer" },
    title: { type: "string" },
    description: { type: "string" },
    status,
    priority,
    due_at: momentOrNull,
    tags,
    created_at: moment,
    updated_at: moment,
    completed_at: momentOrNull,
  },
};

const fastify = Fastify({ logger: false });

function named(row) {
  row.priority = PRIORITIES[row.priority - 1];
  return row;
}

fastify.get(
  "/tasks",
  {
    schema: {
      querystring: {
        type: "object",
        properties: { limit: { type: "integer", minimum: 1, maximum: 200, default: 50 } },
      },
      response: { 200: { type: "array", items: task } },
    },
  },
  async (request) => {
    const { rows } = await pool.query({ ...LIST_TASKS, values: [request.query.limit] });
    return rows.map(named);
  },
);

fastify.post("/tasks", { schema: { body: taskContent, response: { 201: task } } }, async (request, reply) => {
  const { title, description, status, priority, due_at, tags } = request.body;
  const rank = PRIORITIES.indexOf(priority) + 1;
  const { rows } = await pool.query({ ...CREATE_TASK, values: [title, description, status, rank, due_at, tags] });
  reply.code(201).header("Location", `/tasks/${rows[0].id}`);
  return named(rows[0]);
});

fastify.get(
  "/tasks/:id",
  {
    schema: {
      params: { type: "object", properties: { id: { type: "integer", minimum: 1 } } },
      response: { 200: task },
    },
  },
  async (request, reply) => {
    const { rows } = await pool.query({ ...GET_TASK, values: [request.params.id] });
    if (rows.length === 0) return reply.code(404).send({ detail: "There is no task with this id" });
    return named(rows[0]);
  },
);

await fastify.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
