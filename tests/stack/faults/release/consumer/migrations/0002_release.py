from django.db import migrations, models


class Migration(migrations.Migration):
    """A column for the host's table, and one for a table of django-pm that everybody writes."""

    dependencies = [("consumer", "0001_initial"), ("django_pm", "0001_initial")]
    operations = [
        migrations.AddField("heard", "release", models.IntegerField(db_default=1)),
        migrations.RunSQL("ALTER TABLE django_pm_task ADD COLUMN next_release integer NOT NULL DEFAULT 1"),
    ]
