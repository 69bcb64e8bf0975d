-- name: prepare
SELECT prepare_document_weeks($1);

-- name: forget
SELECT part FROM forget_document_weeks($1, $2) AS part;
